"""PostgreSQL and Odoo, started, stopped, asked, and their logs read."""
