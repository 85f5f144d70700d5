"""What about a simulated lead makes it buy? Traits turned into multipliers of daily rates.

Deliberately not the mirror image of a scoring model: what is good for one size of company is bad
for another, need and budget count together and not one by one, and a frailty multiplies it all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.simulated import words
from training.simulated.leads import Leads
from training.simulated.world import Floats, Ints


@dataclass(frozen=True, slots=True)
class Drives:
    """What a lead's traits do, arrays of shape (n,): multipliers of the daily rates in `courses`.

    `win`, `lose`, `off` (ends off merit: junk or duplicate) multiply the rates of closing, `heat`
    the rates of warming up; `warmth` (0, 1, 2) says how warm a lead comes in.
    """

    win: Floats
    lose: Floats
    off: Floats
    heat: Floats
    warmth: Ints
    authority: Ints

    @classmethod
    def of(cls, leads: Leads) -> Drives:
        """The drives of leads."""
        fit = _company_fit(leads) + _source_fit(leads) + _bant_fit(leads)
        return cls(
            win=np.exp(fit + 0.45 * leads.frailty - 7.0),
            lose=np.exp(
                0.15 * (leads.need - 1.5) + 0.5 * (leads.budget == 3) - 0.2 * leads.frailty
            ),
            off=_SOURCE_OFF[leads.source] * np.where(leads.client, 0.2, 1.0),
            heat=np.exp(-0.3 * (leads.need - 1.5) + 0.3 * leads.heat_frailty),
            warmth=_SOURCE_WARMTH[leads.source],
            authority=leads.authority,
        )


#                         website, search, partner, fair, referral, cold call, content, web enquiry
_SOURCE_FIT = np.array([0.10, -0.35, 0.35, 0.0, 0.60, -0.55, -0.10, -0.30])
_SOURCE_OFF = np.array([1.2, 2.2, 0.3, 0.9, 0.2, 0.8, 1.0, 1.8])
_SOURCE_WARMTH = np.array([1, 1, 1, 0, 2, 0, 0, 1])
_INDUSTRY_FIT = np.array([0.2, 0.4, -0.1, -0.3, 0.0, 0.3, -0.4, -0.5])


def _company_fit(leads: Leads) -> Floats:
    """Size counts by thresholds, and turns round with who is talking and for which product."""
    small, large = leads.employees < 15, leads.employees >= 800
    executive, enterprise = (
        leads.seniority == 0,
        leads.product == words.PRODUCTS.index("enterprise"),
    )
    fit: Floats = _INDUSTRY_FIT[leads.industry] - 0.45 * small + 0.25 * (~small & ~large)
    fit += np.where(small, 0.6 * executive, np.where(large, -0.4 * executive, 0.1 * executive))
    fit += enterprise * np.where(large, 0.9, np.where(small, -1.2, -0.2))
    software = leads.industry == words.INDUSTRIES.index("software")
    fit += 0.4 * (software & (leads.product == words.PRODUCTS.index("analytics")))
    return fit


def _source_fit(leads: Leads) -> Floats:
    """A source is good where it has roots: partners in DACH, fairs in the Nordics."""
    partner, fair = words.SOURCES.index("partner"), words.SOURCES.index("trade fair")
    fit: Floats = _SOURCE_FIT[leads.source] - 0.3 * (leads.region == 5)
    fit += 0.5 * ((leads.source == partner) & (leads.region == 0))
    fit += 0.7 * ((leads.source == fair) & (leads.region == 1))
    return fit


def _bant_fit(leads: Leads) -> Floats:
    """Need and budget count together; no budget is forgiven when the need is urgent."""
    both = (leads.need <= 1) & (leads.budget <= 1)
    broke = leads.budget == 3
    fit: Floats = 1.1 * both - np.where(leads.need == 0, 0.3, 1.1) * broke - 0.7 * (leads.need == 3)
    rival, spreadsheet = leads.solution == 1, leads.solution == 0
    fit += 0.5 * (spreadsheet & (leads.employees >= 50)) - 0.3 * rival
    fit -= 0.5 * (leads.solution == 2)
    return fit
