module weir.dev/tests/cluster

go 1.26
