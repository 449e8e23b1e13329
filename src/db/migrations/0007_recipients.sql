-- SHA-384 of each part of a recipient's public key: no part is enrolled twice, whatever the suite or the state.
create table recipient_key_halves (
  hash         bytea primary key,
  recipient_id text not null references recipients (id) on delete cascade
);
create index recipient_key_halves_recipient on recipient_key_halves (recipient_id);

-- Until now every key was one of ML-KEM-768, which is its own only half.
insert into recipient_key_halves (hash, recipient_id) select kem_hash, id from recipients;
drop index recipients_kem;
alter table recipients drop column kem_hash;
