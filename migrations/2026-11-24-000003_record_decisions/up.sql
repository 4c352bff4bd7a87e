-- One row for each judged save or delete, whatever the number of hooks: a save pays for one row and two index entries.
-- Constraints and partial indexes would cost more than the row, since Postgres prepares their expressions for each
-- statement; and the only code that writes here uses no invalid words.
CREATE TABLE hook_judgements (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    id bigint GENERATED ALWAYS AS IDENTITY,
    version integer NOT NULL,
    operation text NOT NULL,
    outcome text NOT NULL,
    document text NOT NULL,
    thread text NOT NULL,
    input_sha256 bytea NOT NULL,
    input jsonb NOT NULL,
    decisions jsonb NOT NULL,
    PRIMARY KEY (tenant_id, at, id)
);
CREATE INDEX hook_judgements_thread_idx ON hook_judgements (tenant_id, document, thread, at, id);
COMMENT ON TABLE hook_judgements IS 'What hooks decided about a save or delete, and on what input';
COMMENT ON COLUMN hook_judgements.tenant_id IS 'The owner';
COMMENT ON COLUMN hook_judgements.at IS 'When it was recorded: in the transaction that stored what was accepted';
COMMENT ON COLUMN hook_judgements.id IS 'Settles ties of time';
COMMENT ON COLUMN hook_judgements.version IS 'The version that was judged: for a save, the one that it would become';
COMMENT ON COLUMN hook_judgements.operation IS 'save or delete';
COMMENT ON COLUMN hook_judgements.outcome IS 'accepted, rejected, failed (a hook did, and its settings say reject), or not stored (accepted, but the thread had moved on or had this version already)';
COMMENT ON COLUMN hook_judgements.document IS 'The document';
COMMENT ON COLUMN hook_judgements.thread IS 'The thread';
COMMENT ON COLUMN hook_judgements.input_sha256 IS 'SHA-256 of the input as it was written: JSON with its members in the order of the code';
COMMENT ON COLUMN hook_judgements.input IS 'What the hooks were told beside the signature''s bytes, whose digest it holds';
COMMENT ON COLUMN hook_judgements.decisions IS 'What each hook decided, in the order in which they ran';

CREATE TABLE hook_inputs (
    tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    sha256 bytea NOT NULL,
    encoding "char" NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    signature bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256, encoding),
    CONSTRAINT hook_inputs_encoding_check CHECK (encoding IN ('b', 't')),
    CONSTRAINT hook_inputs_sha256_check CHECK (octet_length(sha256) = 32)
);
ALTER TABLE hook_inputs ALTER COLUMN signature SET STORAGE EXTERNAL;
CREATE INDEX hook_inputs_at_idx ON hook_inputs (tenant_id, at);
COMMENT ON TABLE hook_inputs IS 'Signatures that hooks refused, kept so that the decision can be replayed';
COMMENT ON COLUMN hook_inputs.tenant_id IS 'The owner';
COMMENT ON COLUMN hook_inputs.sha256 IS 'SHA-256 of the bytes';
COMMENT ON COLUMN hook_inputs.encoding IS 'As of stored versions: b, the text was base64 of the bytes; t, it is the bytes';
COMMENT ON COLUMN hook_inputs.at IS 'When it was last refused';
COMMENT ON COLUMN hook_inputs.signature IS 'The bytes';
