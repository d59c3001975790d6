/*
 * A PKCS#11 module that passes every call to another one, but takes TAKES
 * microseconds for a signature, and makes one at a time in this process: a hardware
 * module with one engine. A template: Module and Microseconds are filled in.
 *
 * A module gives a structure with its version and, in the order of the standard,
 * pointers to its 68 functions. Only C_Sign (number 43) is replaced.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>

#define FUNCTIONS 68
#define SIGN 43

typedef unsigned long rv;
typedef struct {
	unsigned char version[2];
	void *function[FUNCTIONS];
} list;
typedef rv (*sign_function)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);

static list ours;
static sign_function real_sign;
static pthread_mutex_t engine = PTHREAD_MUTEX_INITIALIZER;

static rv slow_sign(unsigned long session, unsigned char *data, unsigned long length, unsigned char *signature, unsigned long *size)
{
	struct timespec takes = { {{.Microseconds}} / 1000000, {{.Microseconds}} % 1000000 * 1000 };

	if (signature != NULL) { /* not only its size is asked */
		pthread_mutex_lock(&engine);
		nanosleep(&takes, NULL);
		pthread_mutex_unlock(&engine);
	}
	return real_sign(session, data, length, signature, size);
}

rv C_GetFunctionList(list **given)
{
	void *library = dlopen("{{.Module}}", RTLD_NOW | RTLD_LOCAL);
	rv (*get)(list **) = library == NULL ? NULL : (rv (*)(list **))dlsym(library, "C_GetFunctionList");
	list *theirs;
	rv result;

	if (get == NULL) {
		return 5; /* CKR_GENERAL_ERROR */
	}
	if ((result = get(&theirs)) != 0) {
		return result;
	}
	ours = *theirs;
	real_sign = (sign_function)theirs->function[SIGN];
	ours.function[SIGN] = (void *)slow_sign;
	*given = &ours;
	return 0;
}
