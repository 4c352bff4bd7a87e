CREATE INDEX signatures_document_idx ON signatures (tenant_id, document, created_at DESC, id DESC);
CREATE INDEX signatures_chain_idx ON signatures (tenant_id, thread, created_at DESC, id DESC);
