WITH
deleted AS (
  DELETE FROM signatures
  WHERE tenant_id = $1 AND document = $2 AND thread = $3
  RETURNING tenant_id, id, version
),
counted AS (
  INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard)
  SELECT
    d.tenant_id,
    - sum(octet_length(v.signature)) - coalesce(
      (
        SELECT sum(x.bytes)
        FROM signature_verdicts x
        WHERE x.tenant_id = d.tenant_id
          AND x.signature_id = d.id
      ),
      0
    ),
    -1,
    - count(*),
    (pg_backend_pid() % 64)::smallint
  FROM deleted d JOIN signature_versions v ON v.tenant_id = d.tenant_id AND v.signature_id = d.id
  GROUP BY d.tenant_id, d.id
  ON CONFLICT (tenant_id, shard) DO UPDATE SET
    bytes = tenant_usage.bytes + excluded.bytes,
    threads = tenant_usage.threads + excluded.threads,
    versions = tenant_usage.versions + excluded.versions
)
SELECT d.id, v.sha256
FROM
  deleted d
  JOIN signature_versions v ON v.tenant_id = d.tenant_id
  AND v.signature_id = d.id
  AND v.version = d.version;
