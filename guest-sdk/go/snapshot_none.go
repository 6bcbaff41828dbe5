//go:build nosnapshot || !wasip1

package sandsock

func began() {}
