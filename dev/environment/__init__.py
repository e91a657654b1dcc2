"""What is fetched, and from where: Python's packages, Odoo, programs of Debian."""
