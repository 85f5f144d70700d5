"""Which lead definition and which present do the tests speak of? One of each, for every suite.

The definition has something of everything, so that a test which loops over its columns meets every
kind of column; the present is the worked example of `features.clock`: noon.
"""

from __future__ import annotations

from features.definition import Definition, parse_definition

NOW = 1_777_636_800_000_000
"""2026-05-01T12:00:00Z."""

DEFINITION_TEXT = """\
name: office_supplies
horizon_days: 90
reporting_lag_days: 3
cohorts: {every_days: 30}
attributes:
  - {name: industry, type: category, label: Industry, values: [Retail, Software, "No", Öffentlich]}
  - {name: city, type: category}
  - {name: channel, type: category, group: source, unanswered: [Select]}
  - {name: employees, type: number, unit: people, monotone: 1}
  - {name: growth, type: number}
  - {name: newsletter, type: boolean, group: demographic}
  - {name: founded, type: date, monotone: 1}
  - {name: contract_ends, type: date}
  - {name: age, type: number, group: demographic, sensitive: true}
  - {name: close_reason, type: category, known_late: true}
bant:
  budget:
    - name: budget_allocated
      ask: Is there a budget?
      answers:
        sales: ["Yes", Next year, "No"]
        marketing: [Next year, "Yes", "No"]
      unknown: [Don't know]
  authority:
    - name: role
      answers:
        sales: [Decides, Advises, Uses]
        marketing: [Decides, Uses, Advises]
  need:
    - {name: pain, answers: [Severe, Some, None at all]}
    - name: replaces
      answers: {sales: [Competitor, Nothing], marketing: [Nothing, Competitor]}
      monotone: false
  timeline:
    - name: buys_within
      answers:
        sales: [A month, A quarter, A year, Later]
        marketing: [A quarter, A month, A year, Later]
engagement:
  kinds: [visit, {name: webinar, label: Webinar}, email_click]
  channels: [web, email, phone]
  windows_days: [0.0625, 0.5, 7, 30.25]
stages:
  - {name: new, responsible: Telemarketing, backup: Marketing}
  - {name: qualified, responsible: Sales}
  - {name: parked, closed: true}
routes:
  - {name: sales_ready, at_least: 0.3, responsible: Sales, respond_within_hours: 4,
     if_not_accepted: nurture}
  - {name: nurture, at_least: 0.05, responsible: Marketing}
  - {name: hand_back}
"""


def agreed() -> Definition:
    """The definition, parsed anew."""
    return parse_definition(DEFINITION_TEXT, "agreed.yaml")
