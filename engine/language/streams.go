package main

import (
	"sync"

	"google.golang.org/grpc"
)

// oneAtATime makes a stream safe for two writers: a process's stdout and its stderr.
type oneAtATime[M any] struct {
	grpc.ServerStreamingServer[M]

	mutex sync.Mutex
}

// Send sends one message after the other.
func (s *oneAtATime[M]) Send(message *M) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.ServerStreamingServer.Send(message)
}
