-- How often an integration was locked: an unlock of before does not survive it in any process, also in one that was not told.
create table integration_locks (
  tenant_id      text not null,
  integration_id text not null,
  locks          bigint not null,
  primary key (tenant_id, integration_id),
  foreign key (tenant_id, integration_id) references integrations (tenant_id, id) on delete cascade
);
