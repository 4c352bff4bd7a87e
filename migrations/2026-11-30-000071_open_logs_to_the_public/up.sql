-- Who owns a log may open it to the public: then anybody reads its checkpoints and tiles, which name nobody. Its trees are
-- found by the random part of their names.
CREATE TABLE log_settings (
    tenant_id integer PRIMARY KEY,
    public boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE log_settings IS 'What is set for a log. A log without a row has the defaults';
COMMENT ON COLUMN log_settings.tenant_id IS 'Whose log it is: a tenant''s, or 0 for the platform''s';
COMMENT ON COLUMN log_settings.public IS 'Whether anybody may read its checkpoints and tiles without a token';

-- A column, since row-level security would keep an index on the expression from being used. There is one row for each log, so
-- this takes a moment.
ALTER TABLE log_epochs ADD COLUMN public_id text NOT NULL GENERATED ALWAYS AS (right(origin, 32)) STORED;
COMMENT ON COLUMN log_epochs.public_id IS 'The random part of its name, by which anybody finds it if its log is public';
CREATE UNIQUE INDEX log_epochs_public_id_idx ON log_epochs (public_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON log_settings TO sigpersist_server;
ALTER TABLE log_settings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_settings USING (tenant_id = current_tenant());
-- The platform looks which trees are public.
CREATE POLICY platform ON log_settings FOR SELECT USING (current_tenant() = 0);
