-- Saves and deletes that a hook or the tenant's policy refused are in the tenant's log if the tenant wants that.
ALTER TABLE log_settings
    ADD COLUMN refusals boolean NOT NULL DEFAULT false,
    ADD COLUMN refused_at timestamptz;
COMMENT ON COLUMN log_settings.refusals IS 'Whether saves and deletes that were refused are added to it';
COMMENT ON COLUMN log_settings.refused_at IS 'When a refusal was last added to it';
-- Each refusal sets its time, which no server caches.
CREATE TRIGGER log_settings_notify AFTER INSERT OR DELETE OR UPDATE OF public, refusals ON log_settings
    FOR EACH ROW EXECUTE FUNCTION notify_change('policy', 'tenant_id');

-- What a refusal says goes when decisions of hooks of that age do, since the thread that it names may never be stored.
-- There are no such rows yet, so this takes a moment.
CREATE INDEX log_entries_refused_idx ON log_entries (tenant_id, at) WHERE kind = 'r' AND event IS NOT NULL;
COMMENT ON COLUMN log_queue.kind IS 'What happened: v, a version was saved; b, it was stored before there was a log; i, it was imported; d, a thread was deleted; j, a verdict was recorded; r, a save or delete was refused; c, something else changed; a, the heads of other records of the day; n, the log goes on after another one; h, the head of a tenant''s log';
