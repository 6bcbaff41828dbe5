;; Asks for two memories of 600 pages (37.5 MiB) each.
(module
  (memory (export "memory") 600)
  (memory 600)
  (func (export "handle")))
