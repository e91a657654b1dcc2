"""What is downloaded and from where: Python packages, Odoo, Debian programs."""
