INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard)
VALUES ($1, $2, $3, $4, (pg_backend_pid() % 64)::smallint)
ON CONFLICT (tenant_id, shard) DO UPDATE SET
  bytes = tenant_usage.bytes + excluded.bytes,
  threads = tenant_usage.threads + excluded.threads,
  versions = tenant_usage.versions + excluded.versions;
