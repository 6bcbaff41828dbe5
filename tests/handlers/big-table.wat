;; Asks for a table of twenty million elements to begin with.
(module
  (memory (export "memory") 1)
  (table 20000000 funcref)
  (func (export "handle")))
