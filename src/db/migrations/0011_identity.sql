-- Clients that may not come in, whatever they show. The list is read as a whole; its revision tells whether it has changed.
create table blocked_lists (
  tenant_id text primary key references tenants (id),
  revision  bigint not null
);

create table blocked_clients (
  tenant_id   text not null references tenants (id),
  id          text not null,
  type        text not null check (type in ('client_id', 'username', 'ip', 'client_id_regex', 'username_regex')),
  value       text not null check (octet_length(value) <= 512),
  description text not null,
  created_at  timestamptz not null,
  created_by  text not null,             -- an API key's id
  expires_at  timestamptz,               -- null: never
  primary key (tenant_id, id),
  unique (tenant_id, type, value)
);
create index blocked_clients_expired on blocked_clients (expires_at) where expires_at is not null;

-- Who was not let in, one row for a client of a hook; never a password or a token. So many a tenant, and so long.
create table unauthorised_clients (
  tenant_id         text not null references tenants (id),
  hook              text not null,
  client_id         text not null,
  id                text not null,
  username          text,
  ip                text,
  listener          text,
  tls               boolean,
  password_provided boolean not null,
  reason            text not null,
  provider          text,
  entry_id          text,                -- of the list above, for one that is blocked
  count             bigint not null,
  first_at          timestamptz not null,
  last_at           timestamptz not null,
  let_in_at         timestamptz,         -- null: not since last_at
  primary key (tenant_id, hook, client_id),
  unique (tenant_id, id)
);
create index unauthorised_clients_recent on unauthorised_clients (tenant_id, last_at desc, id desc);
create index unauthorised_clients_old on unauthorised_clients (last_at);
