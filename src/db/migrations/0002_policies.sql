create table policies (
  tenant_id       text not null references tenants (id),
  id              text not null,
  name            text not null,
  version         integer not null,      -- one more for each change: the ETag
  active_revision integer not null,
  latest_revision integer not null,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  primary key (tenant_id, id)
);

create table policy_revisions (
  tenant_id  text not null,
  policy_id  text not null,
  revision   integer not null,
  document   text not null,              -- JSON with its own revision in it; written once
  sha256     bytea not null check (length(sha256) = 32),
  bytes      integer not null,           -- of the document
  rules      integer not null,
  created_at timestamptz not null,
  created_by text not null,              -- an API key's id
  primary key (tenant_id, policy_id, revision),
  foreign key (tenant_id, policy_id) references policies (tenant_id, id) on delete cascade
);

-- What decides cannot be pruned.
alter table policies add constraint policies_active
  foreign key (tenant_id, id, active_revision) references policy_revisions (tenant_id, policy_id, revision)
  deferrable initially deferred;

create index integrations_policy on integrations (tenant_id, policy_id) where policy_id is not null;

-- As it was given: jsonb reorders members.
alter table integrations alter column guards type json using guards::json;
