"""Outcomes that are fetched: from a CRM's database by a query, or from its REST interface."""
