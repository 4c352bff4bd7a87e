DROP TABLE log_imported_keys;
DROP TABLE log_arrivals;
