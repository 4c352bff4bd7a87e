ALTER TABLE log_epochs DROP COLUMN audited_on, DROP COLUMN anchored;
