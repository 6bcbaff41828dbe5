module sandsock

go 1.24
