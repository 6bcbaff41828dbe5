package sandsock

import (
	"math"
	"testing"
	"time"
)

func TestARequestIsOverTCPUnlessToldOtherwise(t *testing.T) {
	r := (&TestClient{}).Request()
	if r.ClientAddress() != "127.0.0.1:4711" || r.ServerAddress() != "127.0.0.1:9999" || r.Transport() != TCP || r.ID() != 1 {
		t.Errorf("%q %q %v %d", r.ClientAddress(), r.ServerAddress(), r.Transport(), r.ID())
	}
}

func TestAUnixPeerHasNoNameUnlessItIsGivenOne(t *testing.T) {
	r := (&TestClient{Transport: UnixStream}).Request()
	if r.ClientAddress() != "" || r.ServerAddress() != "/run/handler.sock" || r.Transport().String() != "unix" {
		t.Errorf("%q %q %v", r.ClientAddress(), r.ServerAddress(), r.Transport())
	}
}

func TestEverythingKnownOfARequestCanBeGiven(t *testing.T) {
	r := (&TestClient{Address: "[::1]:1", ServerAddress: "[::1]:2", Transport: UDP, ID: 7}).Request()
	if r.ClientAddress() != "[::1]:1" || r.ServerAddress() != "[::1]:2" || !r.Transport().IsDatagram() || r.ID() != 7 {
		t.Errorf("%q %q %v %d", r.ClientAddress(), r.ServerAddress(), r.Transport(), r.ID())
	}
}

func TestTheSettingsOfAConnectionAreTaken(t *testing.T) {
	r := (&TestClient{}).Request()
	r.SetTimeout(time.Second)
	r.SetTimeout(0)
	r.SetNoDelay(true)
}

func TestATimeoutIsRoundedUpToWholeMilliseconds(t *testing.T) {
	for timeout, want := range map[time.Duration]int64{
		0:                       0,
		1:                       1,
		-time.Second:            1,
		250 * time.Millisecond:  250,
		1500 * time.Microsecond: 2,
		math.MaxInt64:           math.MaxInt64 / 1_000_000,
		math.MinInt64:           1,
	} {
		if got := milliseconds(timeout); got != want {
			t.Errorf("%v: %d", timeout, got)
		}
	}
}
