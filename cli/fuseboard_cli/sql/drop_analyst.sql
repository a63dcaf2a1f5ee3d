-- Drops a role. Fails while it has other rights or owns anything, here or in another database of the server.
DROP ROLE {role};
