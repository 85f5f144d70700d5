"""What does the CRM say about a simulated lead, and from when? Versions, filled in and put right.

Each version is a full row as the CRM showed it from then on: some figures are missing or mistyped at
first, a won deal makes a client of a prospect, and the discount is known only then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.facts import KINDS
from training.simulated import words
from training.simulated.courses import NEVER, WON, Block
from training.simulated.leads import Leads
from training.simulated.records import Known, by_lead
from training.simulated.tables import dates, instants, joined, lead_ids, named, numbers
from training.simulated.world import DAY_S, SPELLS, Flags, Floats, Ints

_YES_NO = ("false", "true")


@dataclass(frozen=True, slots=True)
class _Corrections:
    """When the CRM's record of a lead is put right and what it said before, arrays of shape (n,)."""

    enriched: Ints
    renamed: Ints
    employees: Floats
    title: Ints

    @classmethod
    def of(cls, rng: np.random.Generator, leads: Leads, known: Known) -> _Corrections:
        n, first = len(leads), known.opened[:, 0] + 60
        enriched = first + rng.exponential(12 * DAY_S, n).astype(np.int64)
        renamed = first + rng.exponential(60 * DAY_S, n).astype(np.int64)
        typed = np.ceil(leads.employees * np.array([0.1, 0.5, 3.0, 10.0])[rng.integers(0, 4, n)])
        title = _title(leads)
        return cls(
            enriched=np.where(rng.random(n) < 0.5, enriched, NEVER),
            renamed=np.where(rng.random(n) < 0.15, renamed, NEVER),
            employees=np.where(rng.random(n) < 0.1, typed, leads.employees),
            title=np.where(rng.random(n) < 0.12, (title + 3) % len(words.TITLES), title),
        )


@dataclass(frozen=True, slots=True)
class _Moments:
    """The versions of a block, arrays of shape (rows,): whose, since when, what had happened by then."""

    lead: Ints
    at: Ints
    recorded: Ints
    enriched: Flags
    renamed: Flags
    wins: Ints

    @classmethod
    def of(cls, block: Block, known: Known, corrections: _Corrections) -> _Moments:
        course = block.course
        won = np.where(course.outcome == WON, course.closed, NEVER)
        right = np.column_stack([corrections.enriched, corrections.renamed])
        # A win that is not recorded yet must not show in a record put right in the meantime.
        after = right[:, :, None] >= won[:, None, :]
        early = (after & (right[:, :, None] <= known.closed[:, None, :])).any(axis=2)
        at = np.column_stack([course.opened[:, 0], np.where(early, NEVER, right), won])
        recorded = np.column_stack([known.opened[:, 0], right + 30, known.closed])
        lead = np.broadcast_to(np.arange(len(won))[:, None], at.shape)
        rows = by_lead(block, known, lead=lead.ravel(), at=at.ravel(), recorded=recorded.ravel())
        return cls(
            **rows,
            enriched=rows["at"] >= corrections.enriched[rows["lead"]],
            renamed=rows["at"] >= corrections.renamed[rows["lead"]],
            wins=(rows["at"][:, None] >= won[rows["lead"]]).sum(axis=1),
        )


def lead_versions(block: Block, known: Known) -> pa.Table:
    """`leads.csv`: all versions of a block's leads, by lead and time."""
    rng, leads = block.rng(4), block.leads
    corrections = _Corrections.of(rng, leads, known)
    moments = _Moments.of(block, known, corrections)
    client = (moments.wins > 0) | leads.client[moments.lead]
    return pa.table(
        {
            "lead_id": lead_ids(block.number, moments.lead),
            "valid_from": instants(moments.at),
            "recorded_at": instants(moments.recorded),
            "kind": named(client.astype(np.int64), KINDS),
            **_people(rng, leads, moments, corrections),
            **_company(rng, leads, moments, corrections),
            **_interest(rng, block, moments),
        }
    )


def _people(
    rng: np.random.Generator, leads: Leads, moments: _Moments, corrections: _Corrections
) -> dict[str, pa.Array]:
    """Who looks after the lead and who it is; gender and year of birth no score may use."""
    n, lead = len(leads), moments.lead
    managers = len(words.REPS) - 4
    moved_on = (moments.wins > 0) & (rng.random(n) < 0.3)[lead]
    gender = (rng.random(n) < 0.58).astype(np.int64)
    forenames = [name for names in words.FIRST_NAMES for name in names]
    forename = gender * len(words.FIRST_NAMES[0]) + rng.integers(0, len(words.FIRST_NAMES[0]), n)
    surname = rng.integers(0, len(words.LAST_NAMES), n)
    born = np.round(rng.normal(1975 + 5 * leads.seniority, 8)).clip(1950, 2003)
    title = np.where(moments.renamed, _title(leads)[lead], corrections.title[lead])
    owner = np.where(moved_on, managers + leads.owner[lead] % 4, leads.owner[lead])
    return {
        "owner": named(owner, words.REPS),
        "contact": joined(
            named(forename[lead], forenames), named(surname[lead], words.LAST_NAMES), " "
        ),
        "gender": named(gender[lead], words.GENDERS, (rng.random(n) < 0.9)[lead]),
        "birth_year": numbers(born[lead], (rng.random(n) < 0.5)[lead]),
        "job_title": named(title, words.TITLES, moments.renamed | (rng.random(n) < 0.94)[lead]),
        "newsletter": named(leads.newsletter[lead].astype(np.int64), _YES_NO),
    }


def _company(
    rng: np.random.Generator, leads: Leads, moments: _Moments, corrections: _Corrections
) -> dict[str, pa.Array]:
    """What kind of company it is, as far as it is filled in."""
    n, lead, enriched = len(leads), moments.lead, moments.enriched
    first, second, trade = (
        rng.integers(0, size, n)[lead]
        for size in (
            len(words.COMPANY_FIRST),
            len(words.COMPANY_SECOND),
            len(words.COMPANY_TRADE[0]),
        )
    )
    trades = [trade for industry in words.COMPANY_TRADE for trade in industry]
    stem = joined(named(first, words.COMPANY_FIRST), named(second, words.COMPANY_SECOND), "")
    kind = named(leads.industry[lead] * len(words.COMPANY_TRADE[0]) + trade, trades)
    employees = np.where(enriched, leads.employees[lead], corrections.employees[lead])
    sized, priced = (rng.random(n)[lead] for _ in range(2))
    return {
        "company": joined(stem, kind, " "),
        "industry": named(leads.industry[lead], words.INDUSTRIES),
        "employees": numbers(employees, enriched | (sized < 0.85)),
        "revenue_million": numbers(leads.revenue[lead], priced < np.where(enriched, 0.9, 0.5)),
        "region": named(leads.region[lead], words.REGIONS),
    }


def _interest(rng: np.random.Generator, block: Block, moments: _Moments) -> dict[str, pa.Array]:
    """Where the lead comes from, what it wants, what it has; and the discount, known at a win."""
    leads, lead, n = block.leads, moments.lead, len(block.leads)
    rival = (leads.solution == words.ANSWERS[3].index("competitor"))[lead]
    planned = block.target(np.arange(n), np.zeros(n, dtype=np.int64))
    ends = block.world.start_s // DAY_S + np.rint(planned + rng.normal(15, 25, n))
    told = rng.random(n)[lead] < np.where(moments.enriched, 0.7, 0.35)
    discount = np.round(rng.gamma(2.0, 4.0, (n, SPELLS)))
    return {
        "source": named(leads.source[lead], words.SOURCES),
        "product_interest": named(leads.product[lead], words.PRODUCTS),
        "uses_competitor": named(rival.astype(np.int64), _YES_NO, (rng.random(n) < 0.7)[lead]),
        "contract_ends": dates(ends.astype(np.int64)[lead], rival & told),
        "discount_granted": numbers(
            discount[lead, np.maximum(moments.wins - 1, 0)], moments.wins > 0
        ),
    }


def _title(leads: Leads) -> Ints:
    """Positions in `words.TITLES`."""
    return leads.seniority * 3 + leads.department
