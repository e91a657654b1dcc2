{
    "name": "API Integrations: methods that write in every way (tests only)",
    "version": "19.0.1.0.0",
    "author": "Auth Integration Contributors",
    "license": "LGPL-3",
    "depends": ["rpc"],
    "data": ["ir.model.access.csv"],
}
