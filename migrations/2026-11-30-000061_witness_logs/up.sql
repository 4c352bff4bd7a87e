-- Witnesses sign checkpoints of a log (C2SP tlog-witness), each only if it continues the one that it signed before. The newest
-- checkpoint moves on each second, so some are kept for the witnesses, and all witnesses of a log are asked to sign those.
CREATE TABLE log_witnesses (
    tenant_id integer NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    url text NOT NULL,
    key text NOT NULL,
    state text NOT NULL DEFAULT 'new',
    since timestamptz NOT NULL DEFAULT now(),
    why text,
    failures integer NOT NULL DEFAULT 0,
    epoch smallint,
    size bigint,
    signed_at timestamptz,
    behind_since timestamptz DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(),
    lease_by text,
    lease_until timestamptz,
    PRIMARY KEY (tenant_id, name)
) WITH (fillfactor = 50);
CREATE INDEX log_witnesses_next_idx ON log_witnesses (next_at);
COMMENT ON TABLE log_witnesses IS 'Witnesses, which sign checkpoints of a log';
COMMENT ON COLUMN log_witnesses.tenant_id IS 'Whose log it is: a tenant''s, or 0 for the platform''s';
COMMENT ON COLUMN log_witnesses.name IS 'The name of the witness''s key';
COMMENT ON COLUMN log_witnesses.created_at IS 'When it was added';
COMMENT ON COLUMN log_witnesses.url IS 'Its submission prefix (C2SP tlog-witness): the beginning of its addresses';
COMMENT ON COLUMN log_witnesses.key IS 'Its public key (C2SP signed-note: NAME+ID+KEY)';
COMMENT ON COLUMN log_witnesses.state IS 'Its state, as `witness list` shows it';
COMMENT ON COLUMN log_witnesses.since IS 'Since when it is in that state';
COMMENT ON COLUMN log_witnesses.why IS 'Why it did not sign, for people';
COMMENT ON COLUMN log_witnesses.failures IS 'The number of attempts that failed since it last signed';
COMMENT ON COLUMN log_witnesses.epoch IS 'The tree of the checkpoint that it signed last';
COMMENT ON COLUMN log_witnesses.size IS 'How many entries that checkpoint is about';
COMMENT ON COLUMN log_witnesses.signed_at IS 'When it signed that checkpoint';
COMMENT ON COLUMN log_witnesses.behind_since IS 'Since when there is a checkpoint that it has not signed; null if there is none';
COMMENT ON COLUMN log_witnesses.next_at IS 'When it may be asked next';
COMMENT ON COLUMN log_witnesses.lease_by IS 'The server that asks it now';
COMMENT ON COLUMN log_witnesses.lease_until IS 'Until when no other server asks it';

CREATE TABLE log_checkpoints (
    tenant_id integer NOT NULL,
    epoch smallint NOT NULL,
    size bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    checkpoint text NOT NULL,
    PRIMARY KEY (tenant_id, epoch, size)
);
COMMENT ON TABLE log_checkpoints IS 'Checkpoints that witnesses are asked to sign: the newest ones, and those with the most signatures';
COMMENT ON COLUMN log_checkpoints.tenant_id IS 'Whose log it is';
COMMENT ON COLUMN log_checkpoints.epoch IS 'The tree';
COMMENT ON COLUMN log_checkpoints.size IS 'How many entries the tree had';
COMMENT ON COLUMN log_checkpoints.at IS 'From when on witnesses are asked';
COMMENT ON COLUMN log_checkpoints.checkpoint IS 'The checkpoint, signed by the log';

CREATE TABLE log_cosignatures (
    tenant_id integer NOT NULL,
    epoch smallint NOT NULL,
    size bigint NOT NULL,
    witness text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    line text NOT NULL,
    PRIMARY KEY (tenant_id, epoch, size, witness),
    FOREIGN KEY (tenant_id, epoch, size) REFERENCES log_checkpoints ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, witness) REFERENCES log_witnesses ON DELETE CASCADE
);
-- For the removal of a witness.
CREATE INDEX log_cosignatures_witness_idx ON log_cosignatures (tenant_id, witness);
COMMENT ON TABLE log_cosignatures IS 'Signatures of witnesses';
COMMENT ON COLUMN log_cosignatures.tenant_id IS 'Whose log it is';
COMMENT ON COLUMN log_cosignatures.epoch IS 'The tree';
COMMENT ON COLUMN log_cosignatures.size IS 'How many entries the checkpoint is about';
COMMENT ON COLUMN log_cosignatures.witness IS 'The witness';
COMMENT ON COLUMN log_cosignatures.at IS 'When the server got it; when the witness signed is in the line';
COMMENT ON COLUMN log_cosignatures.line IS 'The line for the checkpoint (C2SP tlog-cosignature)';

GRANT SELECT, INSERT, UPDATE, DELETE ON log_witnesses TO sigpersist_server;
GRANT SELECT, INSERT, DELETE ON log_checkpoints TO sigpersist_server;
GRANT SELECT, INSERT, UPDATE (line, at), DELETE ON log_cosignatures TO sigpersist_server;
ALTER TABLE log_witnesses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_witnesses USING (tenant_id = current_tenant());
-- The platform looks which witnesses are to be asked, and keeps the checkpoints that they are to sign.
CREATE POLICY platform ON log_witnesses USING (current_tenant() = 0);
ALTER TABLE log_checkpoints ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_checkpoints USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_checkpoints USING (current_tenant() = 0);
ALTER TABLE log_cosignatures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_cosignatures USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_cosignatures FOR SELECT USING (current_tenant() = 0);
