-- Makes a role's sessions read only and short by default. The role may change that; what it may read it cannot. Safe to repeat.
ALTER ROLE {role} SET {setting} = {value};
