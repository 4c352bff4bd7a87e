ALTER TABLE log_epochs DROP COLUMN public_id;
DROP TABLE log_settings;
