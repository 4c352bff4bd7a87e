-- Webhooks follow the log of their tenant, each with a cursor of its own. An event that was delivered leaves no row. One that
-- was not is a row until it is, and holds back only the later events about the same thread.
CREATE TABLE webhooks (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    url text NOT NULL,
    types text[] NOT NULL,
    cursor bigint NOT NULL,
    encrypted_secret bytea NOT NULL,
    encrypted_old_secret bytea,
    old_secret_until timestamptz,
    disabled_at timestamptz,
    disabled_why text,
    failing_since timestamptz,
    lease_by text,
    lease_until timestamptz,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);
COMMENT ON TABLE webhooks IS 'URLs that are called with what happens to a tenant';
COMMENT ON COLUMN webhooks.tenant_id IS 'The owner';
COMMENT ON COLUMN webhooks.id IS 'Its id';
COMMENT ON COLUMN webhooks.created_at IS 'When it was made';
COMMENT ON COLUMN webhooks.url IS 'What is called';
COMMENT ON COLUMN webhooks.types IS 'The types of events that it is called with; all if there are none. A type that ends with a dot stands for all that begin so';
COMMENT ON COLUMN webhooks.cursor IS 'The number of the last event that was delivered, or is pending';
COMMENT ON COLUMN webhooks.encrypted_secret IS 'The secret that signs calls, encrypted with AES-256-GCM under the master key';
COMMENT ON COLUMN webhooks.encrypted_old_secret IS 'The secret before it, which signs beside it for a while';
COMMENT ON COLUMN webhooks.old_secret_until IS 'Until when the old secret signs';
COMMENT ON COLUMN webhooks.disabled_at IS 'Since when it is not called; null while it is';
COMMENT ON COLUMN webhooks.disabled_why IS 'Why it is not called, for people';
COMMENT ON COLUMN webhooks.failing_since IS 'Since when every call has failed; null if the last one did not';
COMMENT ON COLUMN webhooks.lease_by IS 'The server that calls it now';
COMMENT ON COLUMN webhooks.lease_until IS 'Until when that server may, unless it says that it still does';

CREATE TABLE webhook_pending (
    tenant_id integer NOT NULL,
    attempts integer NOT NULL,
    webhook_id bigint NOT NULL,
    number bigint NOT NULL,
    signature_id bigint,
    next_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, webhook_id, number),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_pending_next_idx ON webhook_pending (tenant_id, webhook_id, next_at);
COMMENT ON TABLE webhook_pending IS 'Events that a webhook did not take yet';
COMMENT ON COLUMN webhook_pending.tenant_id IS 'The owner';
COMMENT ON COLUMN webhook_pending.attempts IS 'How often it was tried';
COMMENT ON COLUMN webhook_pending.webhook_id IS 'The webhook';
COMMENT ON COLUMN webhook_pending.number IS 'The number of the event';
COMMENT ON COLUMN webhook_pending.signature_id IS 'The thread that it is about; null for all other events, which come in order, too';
COMMENT ON COLUMN webhook_pending.next_at IS 'When it is tried again, unless an earlier event about the thread is pending, too';

CREATE TABLE webhook_attempts (
    tenant_id integer NOT NULL,
    ms integer NOT NULL,
    webhook_id bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    number bigint,
    at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    outcome text NOT NULL,
    PRIMARY KEY (tenant_id, webhook_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE webhook_attempts IS 'The last calls of each webhook, without their bodies';
COMMENT ON COLUMN webhook_attempts.tenant_id IS 'The owner';
COMMENT ON COLUMN webhook_attempts.ms IS 'How many milliseconds it took';
COMMENT ON COLUMN webhook_attempts.webhook_id IS 'The webhook';
COMMENT ON COLUMN webhook_attempts.id IS 'Grows with time';
COMMENT ON COLUMN webhook_attempts.number IS 'The number of the event; null for a test';
COMMENT ON COLUMN webhook_attempts.at IS 'When it ended';
COMMENT ON COLUMN webhook_attempts.status IS 'The status of the answer; null if there was none';
COMMENT ON COLUMN webhook_attempts.outcome IS 'delivered, gone, failed by its status, or the class of the error';

GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_pending TO sigpersist_server;
GRANT SELECT, INSERT, DELETE ON webhook_attempts TO sigpersist_server;
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON webhooks USING (tenant_id = current_tenant());
-- The platform looks whose webhooks are due, and encrypts their secrets again when the master key is rotated.
CREATE POLICY platform ON webhooks USING (current_tenant() = 0);
ALTER TABLE webhook_pending ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_pending USING (tenant_id = current_tenant());
CREATE POLICY platform ON webhook_pending FOR SELECT USING (current_tenant() = 0);
ALTER TABLE webhook_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_attempts USING (tenant_id = current_tenant());
