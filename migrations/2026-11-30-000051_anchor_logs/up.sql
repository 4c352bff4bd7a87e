-- The platform has a log, too. It gets the heads of the tenants' logs, sealed like all objects of entries: whoever keeps a
-- checkpoint of the platform's log holds all of them. Each tenant's log gets the head of its audit trail once a day.
ALTER TABLE log_epochs
    ADD COLUMN anchored bigint NOT NULL DEFAULT 0,
    ADD COLUMN audited_on date;
COMMENT ON COLUMN log_epochs.anchored IS 'How many entries it had when its head was last added to the platform''s log';
COMMENT ON COLUMN log_epochs.audited_on IS 'The day on which the head of the tenant''s audit trail was last added to it';
