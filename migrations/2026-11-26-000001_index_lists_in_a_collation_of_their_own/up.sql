-- A thread must be looked up by document and name together, through signatures_thread_key. Without statistics on a
-- tenant, or if one tenant's values are rare and another's are always the same, Postgres might instead scan all threads
-- with the same document or name. So the indexes for lists have a collation that only lists ask for. Reads continue
-- while they are created; saves wait.
CREATE INDEX signatures_document_list_idx ON signatures (tenant_id, document COLLATE "C", created_at DESC, id DESC);
CREATE INDEX signatures_thread_list_idx ON signatures (tenant_id, thread COLLATE "C", created_at DESC, id DESC);
