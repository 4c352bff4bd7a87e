-- A list of one document's threads asks for them in the order of this index, the document included, so that no other index
-- yields that order: where statistics said that all threads have the same document, Postgres would as soon have walked all of
-- the tenant's. A place in such a list is a comparison of rows, which needs one direction for all columns; the index is read
-- backward. Lists of older servers are in its order, too. Reads go on while the indexes are made; saves wait.
DROP INDEX signatures_document_list_idx;
DROP INDEX signatures_thread_list_idx;
DROP INDEX signatures_stage_idx;
CREATE INDEX signatures_document_list_idx ON signatures (tenant_id, document COLLATE "C", created_at, id);
CREATE INDEX signatures_thread_list_idx ON signatures (tenant_id, thread COLLATE "C", created_at, id);
CREATE INDEX signatures_stage_idx ON signatures (tenant_id, stage, created_at, id) WHERE stage IS NOT NULL;
