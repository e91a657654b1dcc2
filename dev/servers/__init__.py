"""Start, stop and query PostgreSQL and Odoo, and read their logs."""
