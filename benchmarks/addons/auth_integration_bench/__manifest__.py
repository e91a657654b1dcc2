{
    "name": "API Integrations: a delivery that costs nothing (benchmark only)",
    "version": "19.0.1.0.0",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["auth_integration"],
}
