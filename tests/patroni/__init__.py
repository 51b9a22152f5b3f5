"""`make patroni`: PostgreSQL under Patroni and etcd here, switched over and killed while rows are written."""
