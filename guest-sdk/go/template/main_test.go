package main

import (
	"testing"

	"handler/sandsock"
)

func TestGreets(t *testing.T) {
	client := sandsock.TestClient{Sends: "hello,server\n"}
	if err := client.Serve(&Hello{}); err != nil {
		t.Fatal(err)
	}
	if client.Received() != "你好" {
		t.Errorf("received %q", client.Received())
	}
}
