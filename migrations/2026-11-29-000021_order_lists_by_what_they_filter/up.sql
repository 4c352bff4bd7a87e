-- The list of one document's threads asks for exactly the order of this index, including the document, so that no other
-- index yields that order. Otherwise, if statistics said that all threads have the same document, Postgres might scan
-- all threads of the tenant. A cursor is a row comparison, which needs the same direction for all columns, so the index
-- is read backward. Older servers' lists are in this order too. Reads continue while the indexes are created; saves
-- wait.
DROP INDEX signatures_document_list_idx;
DROP INDEX signatures_thread_list_idx;
DROP INDEX signatures_stage_idx;
CREATE INDEX signatures_document_list_idx ON signatures (tenant_id, document COLLATE "C", created_at, id);
CREATE INDEX signatures_thread_list_idx ON signatures (tenant_id, thread COLLATE "C", created_at, id);
CREATE INDEX signatures_stage_idx ON signatures (tenant_id, stage, created_at, id) WHERE stage IS NOT NULL;
