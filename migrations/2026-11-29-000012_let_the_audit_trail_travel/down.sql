DROP TABLE audit_imported;
