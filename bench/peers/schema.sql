-- The tables of the peers: threads with their current version and tags, and all versions.
CREATE TABLE keys (
    kid text PRIMARY KEY,
    tenant_id integer NOT NULL,
    secret text NOT NULL
);

CREATE TABLE signatures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer NOT NULL,
    document text NOT NULL,
    thread text NOT NULL,
    version integer NOT NULL,
    stage text,
    tags text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, document, thread)
);
CREATE INDEX ON signatures (tenant_id, created_at DESC, id DESC);
CREATE INDEX ON signatures USING gin (tags);

CREATE TABLE versions (
    signature_id bigint NOT NULL REFERENCES signatures ON DELETE CASCADE,
    version integer NOT NULL,
    cms text NOT NULL,
    created_by text,
    comment text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (signature_id, version)
);
