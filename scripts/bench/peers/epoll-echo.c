// A peer: what epoll(7) costs a C program that does no more than echo. Its address never changes hands, it has no
// deadline, and it tells nothing; but it is correct: what send(2) does not take is kept, and read from no further.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 1024

struct connection {
	int fd;
	char *unsent; // NULL where there is none
	size_t length;
};

static char buffer[256 * 1024];
static int epoll;

static void fatal(const char *call) {
	perror(call);
	exit(1);
}

static int listen_on(int port) {
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		fatal("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&local, sizeof local) < 0)
		fatal("bind");
	if (listen(fd, 4096) < 0)
		fatal("listen");
	return fd;
}

static void watch(int fd, int operation, unsigned events, void *data) {
	struct epoll_event event = {.events = events, .data.ptr = data};
	if (epoll_ctl(epoll, operation, fd, &event) < 0)
		fatal("epoll_ctl");
}

static void accept_all(int listener) {
	int fd;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct connection *connection = calloc(1, sizeof *connection);
		if (!connection)
			fatal("calloc");
		connection->fd = fd;
		watch(fd, EPOLL_CTL_ADD, EPOLLIN, connection);
	}
}

static void end(struct connection *connection) {
	close(connection->fd);
	free(connection->unsent);
	free(connection);
}

static void keep(struct connection *connection, const char *rest, size_t length) {
	connection->unsent = malloc(length);
	if (!connection->unsent)
		fatal("malloc");
	memcpy(connection->unsent, rest, length);
	connection->length = length;
	watch(connection->fd, EPOLL_CTL_MOD, EPOLLOUT, connection);
}

static void echo(struct connection *connection) {
	ssize_t received = recv(connection->fd, buffer, sizeof buffer, 0);
	if (received <= 0) {
		if (received == 0 || errno != EAGAIN)
			end(connection);
		return;
	}
	ssize_t sent = send(connection->fd, buffer, received, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return end(connection);
	if (sent < received) {
		size_t taken = sent < 0 ? 0 : sent;
		keep(connection, buffer + taken, received - taken);
	}
}

static void flush(struct connection *connection) {
	ssize_t sent = send(connection->fd, connection->unsent, connection->length, MSG_NOSIGNAL);
	if (sent < 0) {
		if (errno != EAGAIN)
			end(connection);
		return;
	}
	connection->length -= sent;
	memmove(connection->unsent, connection->unsent + sent, connection->length);
	if (connection->length > 0)
		return;
	free(connection->unsent);
	connection->unsent = NULL;
	watch(connection->fd, EPOLL_CTL_MOD, EPOLLIN, connection);
}

static void raise_descriptor_limit(void) {
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **arguments) {
	if (count != 2) {
		fputs("usage: epoll-echo PORT\n", stderr);
		return 2;
	}
	raise_descriptor_limit();
	int listener = listen_on(atoi(arguments[1]));
	epoll = epoll_create1(0);
	watch(listener, EPOLL_CTL_ADD, EPOLLIN, NULL);
	for (;;) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!connection)
				accept_all(listener);
			else if (connection->unsent)
				flush(connection);
			else
				echo(connection);
		}
	}
}
