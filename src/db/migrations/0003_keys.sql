-- When a key got its present state.
alter table keys add column state_since timestamptz not null default now();
update keys set state_since = created_at;

-- One successor at a time for the keys that are published before they are used.
create unique index keys_one_next on keys (tenant_id, purpose)
  where state = 'next' and purpose in ('issuer-key', 'audit-key');

-- The last key document of a root whose private half is offline: served until the operator signs the next one.
create table key_documents (
  root_key_id text primary key,
  issued_at   timestamptz not null,
  expires_at  timestamptz not null,
  document    json not null
);
