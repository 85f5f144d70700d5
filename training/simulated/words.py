"""What are the simulated things called? Word lists, in the order of the codes that stand for them.

Every list is read by position: adding in the middle changes every simulated company.
"""

from __future__ import annotations

INTENTS = ("cold", "warm", "hot", "buying")
STAGES = ("new", "contacted", "qualified", "proposal", "negotiation")
OUTCOMES = ("won", "lost", "junk", "duplicate")
LOST_REASONS = ("price", "competitor", "no budget", "no decision", "timing", "no response")

INDUSTRIES = (
    "manufacturing", "software", "logistics", "retail",
    "health care", "finance", "construction", "public sector",
)  # fmt: skip
REGIONS = ("DACH", "Nordics", "Benelux", "UK and Ireland", "France", "Southern Europe")
SOURCES = (
    "website", "paid search", "partner", "trade fair",
    "referral", "cold call", "content", "web enquiry",
)  # fmt: skip
PRODUCTS = ("core", "plus", "analytics", "enterprise")
TITLES = (
    "Managing Director", "Chief Information Officer", "Chief Financial Officer",
    "Head of Operations", "Head of IT", "Finance Director",
    "Operations Manager", "IT Manager", "Controller",
    "Operations Specialist", "IT Administrator", "Accountant",
)  # fmt: skip
"""Operations, IT and finance for each seniority: executive, director, manager, staff."""

QUESTIONS = (
    "budget_status",
    "decision_role",
    "need_level",
    "current_solution",
    "purchase_timeline",
)
UNKNOWN = "not known"
ANSWERS = (
    ("approved", "planned", "looking for funds", "no budget"),
    ("decides alone", "decides with others", "recommends", "no say"),
    ("urgent", "clear", "vague", "no need"),
    ("spreadsheets", "competitor", "built in-house", "nothing"),
    ("within 3 months", "3 to 6 months", "6 to 12 months", "no plan"),
)

KINDS = (
    "email_open", "email_click", "web_visit", "pricing_visit", "webinar",
    "download", "form", "call", "meeting", "unsubscribe",
)  # fmt: skip
CHANNELS = ("email", "web", "mobile", "phone", "video", "on_site")

GENDERS = ("female", "male")
FIRST_NAMES = (
    (
        "Anna", "Beatriz", "Carla", "Daniela", "Elin", "Fatima", "Greta", "Hanna", "Ines", "Johanna",
        "Katrin", "Laura", "Maria", "Nadia", "Olivia", "Petra", "Rosa", "Sofia", "Tessa", "Ulla",
    ),
    (
        "Adam", "Bruno", "Carlos", "David", "Emil", "Felix", "Georg", "Henrik", "Ivan", "Jonas",
        "Karim", "Lukas", "Marco", "Nils", "Oscar", "Pavel", "Rafael", "Simon", "Tomas", "Viktor",
    ),
)  # fmt: skip
"""By gender."""
LAST_NAMES = (
    "Albers", "Andersen", "Baker", "Bergman", "Bianchi", "Blanc", "Brandt", "Carlsson",
    "Costa", "Dahl", "De Vries", "Duarte", "Eriksen", "Evans", "Ferrari", "Fischer",
    "Garcia", "Gruber", "Hansen", "Hofer", "Holm", "Jansen", "Keller", "Koch",
    "Kowalski", "Lambert", "Lang", "Lehmann", "Lopez", "Maier", "Marin", "Meyer",
    "Moreau", "Murphy", "Nielsen", "Novak", "O'Brien", "Olsen", "Peeters", "Petit",
    "Ricci", "Rossi", "Roux", "Santos", "Schmid", "Shaw", "Silva", "Simon",
    "Smit", "Sommer", "Svensson", "Taylor", "Torres", "Visser", "Vogel", "Wagner",
    "Walsh", "Weber", "Wood", "Zimmer",
)  # fmt: skip
COMPANY_FIRST = (
    "Alder", "Amber", "Arco", "Aster", "Baltic", "Beacon", "Birch", "Blue", "Bright", "Cedar",
    "Clear", "Copper", "Delta", "Eagle", "East", "Elm", "Falcon", "Fjord", "Garden", "Granite",
    "Green", "Harbour", "Hazel", "Iron", "Juniper", "Lake", "Linden", "Maple", "Marble", "North",
    "Oak", "Orchid", "Pine", "Quarry", "River", "Silver", "South", "Stone", "Summit", "West",
)  # fmt: skip
COMPANY_SECOND = (
    "bridge", "brook", "dale", "field", "ford", "gate", "haven", "hill", "land", "line",
    "mark", "mill", "point", "port", "ridge", "side", "stead", "view", "well", "works",
)  # fmt: skip
COMPANY_TRADE = (
    ("Machines", "Tools", "Components", "Metals"),
    ("Software", "Systems", "Digital", "Cloud"),
    ("Logistics", "Freight", "Transport", "Warehousing"),
    ("Stores", "Retail", "Trading", "Markets"),
    ("Clinics", "Health", "Care", "Diagnostics"),
    ("Finance", "Insurance", "Capital", "Leasing"),
    ("Construction", "Building", "Interiors", "Engineering"),
    ("Utilities", "Services", "Schools", "Housing"),
)
"""By industry."""
REPS = (
    "agnes.holt", "bela.kovac", "clara.weiss", "dario.conti", "edith.stone", "fabian.roth", "gina.marsh",
    "hugo.lind", "irene.fuchs", "jack.dunn", "karla.voss", "leon.maas", "mila.frost", "noah.berg",
    "olga.stern", "paul.reed", "quinn.hale", "rita.lund", "sven.kraus", "tina.vale",
)  # fmt: skip
