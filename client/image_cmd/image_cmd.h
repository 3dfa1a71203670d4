/* The verbs of berth-image; each returns the exit status, message printed. */
#ifndef BERTH_CLIENT_IMAGE_CMD_IMAGE_CMD_H
#define BERTH_CLIENT_IMAGE_CMD_IMAGE_CMD_H

int cmd_images(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_login(int argc, char **argv);
int cmd_logout(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_rmi(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_tag(int argc, char **argv);

#endif
