ALTER TABLE log_epochs DROP COLUMN decided_on;
