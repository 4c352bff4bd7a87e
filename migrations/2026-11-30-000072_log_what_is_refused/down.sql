DROP INDEX log_entries_refused_idx;
COMMENT ON COLUMN log_queue.kind IS 'What happened: v, a version was saved; b, it was stored before there was a log; i, it was imported; d, a thread was deleted; j, a verdict was recorded; c, something else changed; a, the heads of other records of the day; n, the log goes on after another one; h, the head of a tenant''s log';
DROP TRIGGER log_settings_notify ON log_settings;
ALTER TABLE log_settings DROP COLUMN refused_at, DROP COLUMN refusals;
