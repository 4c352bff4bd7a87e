-- A thread is looked up by document and thread together, which signatures_thread_key tells apart. While Postgres knows nothing
-- of what is in a tenant yet, or where one tenant's words are rare and another's are always the same, it would as soon walk all
-- threads of the same document or name. So the indexes for these have a collation that only lists ask for.
-- Reads go on while they are made; saves wait.
CREATE INDEX signatures_document_list_idx ON signatures (tenant_id, document COLLATE "C", created_at DESC, id DESC);
CREATE INDEX signatures_thread_list_idx ON signatures (tenant_id, thread COLLATE "C", created_at DESC, id DESC);
