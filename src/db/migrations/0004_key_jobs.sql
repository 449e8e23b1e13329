-- Work that goes over every row a key guards: a vault that moves to its tenant's new key, wraps that move to another KMS key.
create table key_jobs (
  id             text primary key,
  kind           text not null check (kind in ('vault-reencrypt', 'kms-rewrap')),
  tenant_id      text not null,              -- '-': the whole deployment
  target         text not null,              -- id of the vault key, or of the KMS key
  state          text not null check (state in ('running', 'waiting', 'done')),
  cursor         text,                       -- the last row of the present pass that was looked at
  moved          bigint not null default 0,  -- as of the last page; how much is left is counted, not kept
  unusable       text[] not null default '{}', -- rows of the present pass that do not open: the first 20
  unusable_count integer not null default 0,
  problem        text,                       -- code of what stopped the last run
  run_at         timestamptz not null,       -- not before
  emptied_at     timestamptz,                -- since when nothing has moved, and nothing is left that can
  lease_owner    text,
  lease_until    timestamptz,
  created_at     timestamptz not null,
  updated_at     timestamptz not null,
  finished_at    timestamptz
);
create unique index key_jobs_one_open on key_jobs (kind, tenant_id) where state <> 'done';

-- What is still under another key is found without a look at what has moved.
create index vault_versions_vault_key on vault_versions (tenant_id, custody, vault_key_id, entry_id, version)
  where wrapped_share is not null;
create index vault_versions_share_key on vault_versions (tenant_id, share_kms_key_id, entry_id, version)
  where wrapped_share is not null;
create index keys_kms_key on keys (kms_key_id, id) where wrapped is not null;

-- Keys of a tenant, however many tenants there are; and whether a public half is one of ours (its ML-KEM-768 part).
create index keys_tenant on keys (tenant_id, purpose);
create index keys_kem_half on keys using hash (substring(public from 1 for 1184))
  where purpose in ('vault-key', 'canary', 'object-key', 'v1-key');
