-- Sets a role's password, which comes as its SCRAM verifier: the password itself is in no log of the server.
ALTER ROLE {role} PASSWORD {verifier};
