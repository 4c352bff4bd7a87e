DROP INDEX signatures_stage_idx;
DROP INDEX signatures_thread_list_idx;
DROP INDEX signatures_document_list_idx;
CREATE INDEX signatures_document_list_idx ON signatures (tenant_id, document COLLATE "C", created_at DESC, id DESC);
CREATE INDEX signatures_thread_list_idx ON signatures (tenant_id, thread COLLATE "C", created_at DESC, id DESC);
CREATE INDEX signatures_stage_idx ON signatures (tenant_id, stage, created_at DESC, id DESC) WHERE stage IS NOT NULL;
