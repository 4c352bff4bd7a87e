-- Each day, the log of a tenant gets a digest of what hooks decided on the day before, so that whoever changes a decision in
-- the database contradicts the log.
ALTER TABLE log_epochs ADD COLUMN decided_on date;
COMMENT ON COLUMN log_epochs.decided_on IS 'The day (UTC) up to which digests of the decisions of hooks were added to it';
